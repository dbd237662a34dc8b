"""What a displacement is worth: functions of arrays, without knowledge of datasets."""
