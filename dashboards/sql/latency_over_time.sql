-- How long the slowest twentieth of each model's calls takes at least, over time, in seconds; $resolution is the width of a step.
SELECT
time_bucket($resolution, start_timestamp) AS x,
COALESCE(attributes->>'gen_ai.request.model', 'not said') AS model,
approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY duration) AS p95_seconds
FROM records
WHERE (span_name LIKE 'llm.%' OR attributes->>'gen_ai.operation.name' IN ('chat', 'generate_content', 'text_completion', 'embeddings'))
AND duration IS NOT NULL
GROUP BY 1, 2
ORDER BY 1, 2;
