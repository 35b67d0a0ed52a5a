export { explainRequest } from "./explain.ts";
export { formatExplanation } from "./words.ts";
export type { Decision, Explanation, OracleRequest } from "./types.ts";
