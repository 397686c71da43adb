"""What a court is shown: an object's audit trail, and packages that can be checked without this program."""
