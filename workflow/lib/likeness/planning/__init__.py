"""What a study will take, and how parts of it become one."""
