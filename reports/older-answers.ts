/**
 * Converts answers of results.json that were written before `noAnswer` was: they had `closed: true` where the other side closed the
 * connection or reset it, which was not told apart.
 */
export function upgradeAnswers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(upgradeAnswers);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, held]) => [key, key === "got" ? upgradeAnswer(held) : upgradeAnswers(held)]),
  );
}

function upgradeAnswer(answer: unknown): unknown {
  if (typeof answer !== "object" || answer === null || !("closed" in answer) || answer.closed !== true) return answer;
  const { closed: _, ...rest } = answer;
  return { ...rest, noAnswer: "closed" };
}
