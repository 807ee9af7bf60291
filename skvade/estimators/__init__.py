"""What users construct: a file for each method, and what they share."""
