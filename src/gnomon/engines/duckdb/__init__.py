"""DuckDB over Parquet and CSV files."""
