"""What a person must do, by when."""
