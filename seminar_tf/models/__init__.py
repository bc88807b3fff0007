"""PSU and SEMINAR, and the tables that the first hands to the second."""
