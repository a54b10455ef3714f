-- What there is in all: runs, those with a winner, answers, votes, restarts, and how long a run takes on average.
SELECT
COUNT(*) FILTER (WHERE span_name = 'coordination.session') AS runs,
COUNT(*) FILTER (WHERE span_name = 'coordination.session' AND attributes->>'massgen.winner' IS NOT NULL) AS with_a_winner,
COUNT(*) FILTER (WHERE span_name LIKE 'Agent answer:%') AS answers,
COUNT(*) FILTER (WHERE span_name LIKE 'Agent vote:%') AS votes,
COUNT(*) FILTER (WHERE span_name LIKE 'Agent restart:%') AS restarts,
AVG(duration) FILTER (WHERE span_name = 'coordination.session') AS average_seconds
FROM records;
