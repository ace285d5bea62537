"""`zoo adopt`: weights that were trained elsewhere become a run."""
