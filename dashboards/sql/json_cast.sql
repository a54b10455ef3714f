-- The attribute token_count of every record as a number.
SELECT (attributes->'token_count')::int as tokens FROM records;
