"""The report: figures, and one HTML file that stands alone."""
