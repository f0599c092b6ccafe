"""The page that `report` writes: what it shows, measured and drawn; its text is in `templates/`."""
