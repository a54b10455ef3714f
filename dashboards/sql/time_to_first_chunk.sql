-- How long each model takes until its first chunk: median, 95th percentile and worst, in seconds.
SELECT
attributes->>'gen_ai.request.model' AS model,
COUNT(*) AS calls,
MEDIAN((attributes->'gen_ai.response.time_to_first_chunk')::float) AS median_seconds,
approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY (attributes->'gen_ai.response.time_to_first_chunk')::float) AS p95_seconds,
MAX((attributes->'gen_ai.response.time_to_first_chunk')::float) AS max_seconds
FROM records
WHERE (span_name LIKE 'llm.%' OR attributes->>'gen_ai.operation.name' IN ('chat', 'generate_content', 'text_completion', 'embeddings')) AND attributes ? 'gen_ai.response.time_to_first_chunk'
GROUP BY 1
ORDER BY median_seconds DESC;
