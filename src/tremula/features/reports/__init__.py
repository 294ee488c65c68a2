"""What users report to the administrators (CS "Reporting Content")."""
