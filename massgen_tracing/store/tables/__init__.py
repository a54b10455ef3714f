"""Records -> rows of Logfire's tables.

records     spans and log records -> `records_all`
metrics     data points -> `metrics`
jsontext    values -> JSON text, the same for equal values
"""
