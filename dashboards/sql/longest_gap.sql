-- Where agents stalled: the longest time of each round in which no model call and no tool call of it began.
WITH begun AS (
SELECT trace_id, span_id AS round_id, start_timestamp AS moment, end_timestamp
FROM records
WHERE span_name LIKE 'agent.%'
UNION ALL
SELECT trace_id, parent_span_id AS round_id, start_timestamp AS moment, NULL AS end_timestamp
FROM records
WHERE (span_name LIKE 'llm.%' OR attributes->>'gen_ai.operation.name' IN ('chat', 'generate_content', 'text_completion', 'embeddings'))
OR span_name LIKE 'mcp.%' OR (attributes->>'gen_ai.operation.name' = 'execute_tool' AND otel_scope_name <> 'mcp-python-sdk') OR span_name LIKE 'Tool execution:%'
),
gaps AS (
SELECT
trace_id,
round_id,
COALESCE(
LEAD(moment) OVER (PARTITION BY trace_id, round_id ORDER BY moment),
MAX(end_timestamp) OVER (PARTITION BY trace_id, round_id)
) - moment AS gap
FROM begun
)
SELECT
rounds.trace_id,
rounds.span_name,
MAX(EXTRACT(EPOCH FROM gaps.gap)) AS longest_gap_seconds,
MAX(rounds.duration) AS round_seconds
FROM gaps
JOIN records rounds ON rounds.trace_id = gaps.trace_id AND rounds.span_id = gaps.round_id AND rounds.span_name LIKE 'agent.%'
GROUP BY 1, 2
ORDER BY longest_gap_seconds DESC
LIMIT 20;
