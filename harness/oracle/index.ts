export { judgeIn } from "./envoy.ts";
export { explainRequest } from "./explain.ts";
export { trustDomainOf } from "./listeners.ts";
export type { OracleRequest } from "./types.ts";
export { undecidedBy } from "./undecided.ts";
