"""What people look at: pictures, plots, pages one can turn, reports, tables of text."""
