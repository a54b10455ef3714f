-- How long the newest model calls took, by model.
SELECT
span_name,
duration,
attributes->>'gen_ai.request.model' as model,
start_timestamp
FROM records
WHERE (span_name LIKE 'llm.%' OR attributes->>'gen_ai.operation.name' IN ('chat', 'generate_content', 'text_completion', 'embeddings'))
ORDER BY start_timestamp DESC
LIMIT 30;
