/** The closed set of error codes. {@link exitCodeOf} maps them to exit codes. */
export type ErrorCode =
  | "ERR_USAGE"
  | "ERR_SCENARIO_INVALID"
  | "ERR_MANIFEST_REJECTED"
  | "ERR_NOTHING_SELECTED"
  | "ERR_CLUSTER_REFUSED"
  | "ERR_CLUSTER_BUSY"
  | "ERR_CLUSTER_UNREACHABLE"
  | "ERR_CLUSTER_START"
  | "ERR_COMPONENT"
  | "ERR_FOREIGN_FILE"
  | "ERR_MISSING_PROGRAM"
  | "ERR_JOURNAL"
  | "ERR_MESH_SETTING"
  | "ERR_WORKLOAD_NOT_READY"
  | "ERR_PROBE"
  | "ERR_RESULTS"
  | "ERR_INTERRUPTED";

/** An error for people: first a short sentence, then what was expected and found, then a hint. */
export class MeshproofError extends Error {
  readonly code: ErrorCode;
  /** How to fix it, one sentence. */
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "MeshproofError";
    this.code = code;
    this.hint = options.hint;
  }
}

/** Exit codes: 0 conformant, 1 a check failed or flaked, 2 usage or invalid input, 3 environment, 130 interrupted; `repro` alone: 4 not reproduced. */
export function exitCodeOf(error: unknown): 2 | 3 | 130 {
  if (!(error instanceof MeshproofError)) return 3;
  switch (error.code) {
    case "ERR_USAGE":
    case "ERR_SCENARIO_INVALID":
    case "ERR_MANIFEST_REJECTED":
    case "ERR_NOTHING_SELECTED":
    case "ERR_CLUSTER_REFUSED":
      return 2;
    case "ERR_INTERRUPTED":
      return 130;
    default:
      return 3;
  }
}
