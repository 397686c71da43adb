"""Who did what to whom, and when (DPA 2018 s.62): appended, never edited."""
