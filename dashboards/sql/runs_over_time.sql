-- How many runs began, and how they ended, over time; $resolution is the width of a step.
SELECT
time_bucket($resolution, start_timestamp) AS x,
COALESCE(attributes->>'massgen.finish_reason', 'not said') AS ended,
COUNT(*) AS runs
FROM records
WHERE span_name = 'coordination.session'
GROUP BY 1, 2
ORDER BY 1, 2;
