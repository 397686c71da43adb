"""What evidence staff do with objects once they are here: label, annotate, link, hold, keep, dispose."""
