"""What is minimised: one file per paper or idea, each returning its terms by name."""
