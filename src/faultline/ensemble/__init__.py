"""Ensembles of classifiers that cannot leak: every stage learns from out-of-fold answers.

    plan -> members (five folds and one training each) -> tables -> stages -> audit -> test

A table carries who made each row and what that maker has seen; a stage refuses rows that were
seen. Test tables are read once, at the end, and only if the audit has found nothing.
"""
