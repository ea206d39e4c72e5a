# Obuchowski and Rockette's analysis of one modality with Hillis' degrees of freedom, from an export for iMRMC:
# mean area, its standard error, degrees of freedom, 95 % interval (on log odds), and every reader's area, by pROC.
suppressPackageStartupMessages(library(pROC))
rows <- read.csv(commandArgs(trailingOnly = TRUE)[1], stringsAsFactors = FALSE)
truth <- rows[rows$readerID == "truth", ]
given <- rows[rows$readerID != "truth", ]
given$real <- truth$score[match(given$caseID, truth$caseID)]
readers <- sort(unique(given$readerID))
area <- function(part) as.numeric(auc(part$real, part$score, levels = c(0, 1), direction = "<", quiet = TRUE))
areas <- function(part) sapply(readers, function(name) area(part[part$readerID == name, ]))
found <- areas(given)
cases <- nrow(truth)
left_out <- t(sapply(truth$caseID, function(case) areas(given[given$caseID != case, ])))
spread <- cov(left_out) * (cases - 1)^2 / cases
count <- length(readers)
covariance <- max(0, (sum(spread) - sum(diag(spread))) / (count * (count - 1)))
both <- var(found) + count * covariance
error <- sqrt(both / count)
freedom <- both^2 / (var(found)^2 / (count - 1))
mean_area <- mean(found)
apart <- sqrt(qt(0.975, count - 1)^2 * var(found) / count + qnorm(0.975)^2 * covariance)
reach <- (qt(0.975, freedom) * error + apart) / 2
bounds <- plogis(qlogis(mean_area) + c(-1, 1) * reach / (mean_area * (1 - mean_area)))
cat(format(c(mean_area, error, freedom, bounds, found), digits = 12), sep = "\n")
