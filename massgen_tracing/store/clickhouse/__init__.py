"""Spans that the Collector's exporter wrote into ClickHouse, as rows of `records_all`.

fetch       the rows that a statement needs
spans       rows of the exporter's table -> records
values      texts of attributes -> what they were; what the Collector put down beside them says it
wanted      which columns, keys and rows a statement can need
http        one statement over ClickHouse's HTTP interface
"""
