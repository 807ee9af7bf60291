"""Fitted estimators and fits that are not done, in files."""
