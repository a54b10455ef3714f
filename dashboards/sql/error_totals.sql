-- What went wrong in all: records of errors (also those that one only went through), exceptions, rounds out of time or in an error, and how often agents were asked again.
SELECT
COUNT(*) FILTER (WHERE level >= 'error') AS errors,
COUNT(*) FILTER (WHERE is_exception) AS exceptions,
COUNT(*) FILTER (WHERE span_name LIKE 'agent.%' AND attributes->>'massgen.outcome' = 'timeout') AS rounds_out_of_time,
COUNT(*) FILTER (WHERE span_name LIKE 'agent.%' AND attributes->>'massgen.outcome' = 'error') AS rounds_in_error,
COUNT(*) FILTER (WHERE span_name = 'Coordination event: enforcement') AS asked_again
FROM records;
