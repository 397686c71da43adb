"""Looking into what was received: facts a file carries, and previews, made where nothing can be reached."""
