"""Words of the pages about campaigns."""
