"""Drawing that every layer may use: SVG and tables as text, figures as PNG files."""
