# Writes the expected values of tests/statistics/test_mixed_model.py: mean, standard error and variances by lme4, of which
# the random effect is given a membership of every pair in two subjects, and Kenward and Roger's degrees of freedom by
# pbkrtest. Made with R 4.2.2, lme4 1.1-31 and pbkrtest 0.5.2:
#   Rscript tests/oracles/mixed_model.R
suppressMessages({ library(lme4); library(pbkrtest) })
set.seed(1)
graphs <- list(
  ring8 = cbind(1:8, c(2:8, 1)),
  all6 = t(combn(6, 2)),
  sparse = cbind(c(1, 1, 2, 3, 4, 5, 6, 6, 7), c(2, 3, 4, 4, 5, 1, 7, 8, 8)))
unchecked <- lmerControl(check.nobs.vs.nlev = "ignore", check.nobs.vs.nRE = "ignore", check.nlev.gtr.1 = "ignore")
for (name in names(graphs)) for (sd in c(0, .7, 1.5)) {
  edges <- graphs[[name]]; pairs <- nrow(edges); subjects <- max(edges)
  z <- matrix(0, pairs, subjects)
  z[cbind(1:pairs, edges[, 1])] <- 1
  z[cbind(1:pairs, edges[, 2])] <- 1
  y <- round(.3 + z %*% rnorm(subjects, sd = sd) + rnorm(pairs), 3)[, 1]
  # a grouping with as many levels as subjects, in whose place their membership comes
  d <- data.frame(y = y, s = factor(c(1:subjects, rep(1, pairs))[1:pairs], levels = 1:subjects))
  model <- lFormula(y ~ 1 + (1 | s), d, control = unchecked)
  model$reTrms$Zt <- as(t(z), "dgCMatrix")
  deviance <- do.call(mkLmerDevfun, model)
  optimum <- optimizeLmer(deviance, control = list(rhoend = 1e-10, ftol_abs = 1e-14, xtol_abs = 1e-10))
  fit <- mkMerMod(environment(deviance), optimum, model$reTrms, fr = model$fr)
  variances <- as.data.frame(VarCorr(fit))$vcov
  cat(name, "y:", y, "\n")
  cat("mean", format(fixef(fit), digits = 12), "se", format(sqrt(as.matrix(vcov(fit))[1, 1]), digits = 12),
      "tau2", format(variances[1], digits = 10), "sigma2", format(variances[2], digits = 10),
      "kr_df", format(Lb_ddf(1, vcov(fit), vcovAdj(fit)), digits = 10), "\n")
}
