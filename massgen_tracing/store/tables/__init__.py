"""Records -> rows of Logfire's tables.

records     spans and log records -> `records_all`; plain for spans as they are in other programs' files, many at once
metrics     data points -> `metrics`
jsontext    values -> JSON text, the same for equal values
"""
