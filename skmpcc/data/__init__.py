"""X on its way in and out: layout, scaling, rows, classes, frames, data on disk."""
