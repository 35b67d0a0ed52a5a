export { explainRequest, trustDomainOf } from "./explain.ts";
export { contradicts, formatExplanation, OTHERWISE } from "./words.ts";
export type { Decision, Explanation, OracleRequest } from "./types.ts";
