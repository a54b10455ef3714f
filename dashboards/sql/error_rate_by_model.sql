-- How often the calls of each model fail; calls that were cancelled have not failed.
SELECT
attributes->>'gen_ai.request.model' AS model,
COUNT(*) AS calls,
COUNT(*) FILTER (WHERE level >= 'error') AS errors,
COUNT(*) FILTER (WHERE attributes->>'massgen.outcome' = 'cancelled') AS cancelled,
COUNT(*) FILTER (WHERE level >= 'error')::float / COUNT(*) AS error_rate
FROM records
WHERE (span_name LIKE 'llm.%' OR attributes->>'gen_ai.operation.name' IN ('chat', 'generate_content', 'text_completion', 'embeddings'))
GROUP BY 1
ORDER BY error_rate DESC, model;
