-- What an accepted answer costs: of each run, all of its model calls' money by the number of answers that the coordination took.
WITH costs AS (
SELECT trace_id, SUM((attributes->'operation.cost')::float) AS cost_usd
FROM records
WHERE (span_name LIKE 'llm.%' OR attributes->>'gen_ai.operation.name' IN ('chat', 'generate_content', 'text_completion', 'embeddings'))
GROUP BY trace_id
),
answers AS (
SELECT trace_id, COUNT(*) AS answers
FROM records
WHERE span_name LIKE 'Agent answer:%'
GROUP BY trace_id
)
SELECT
session.trace_id,
session.attributes->>'massgen.winner_label' AS winner,
answers.answers,
costs.cost_usd,
costs.cost_usd / answers.answers AS cost_per_answer_usd
FROM records session
LEFT JOIN costs ON costs.trace_id = session.trace_id
LEFT JOIN answers ON answers.trace_id = session.trace_id
WHERE session.span_name = 'coordination.session'
ORDER BY session.start_timestamp DESC;
