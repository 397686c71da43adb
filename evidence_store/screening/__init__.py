"""Screening for malware between received and available, by clamd, when the operator names one."""
