import { execa } from "execa";
import { MeshproofError } from "../../harness/model/errors.ts";
import { containerName } from "./kind-container.ts";

/** Reports that a cluster ended unexpectedly. */
export interface EndWatch {
  /** Aborts, with ERR_CLUSTER_UNREACHABLE as its reason, when the cluster's container ends while it is watched. */
  readonly lost: AbortSignal;
  /** Ends the watch: from now on the end of the cluster is expected. */
  readonly stop: () => void;
}

export function watchEnd(name: string): EndWatch {
  const lost = new AbortController();
  const watch = new AbortController();
  const child = execa("docker", ["wait", containerName(name)], {
    reject: false,
    stdio: "ignore",
    forceKillAfterDelay: false,
    cancelSignal: watch.signal,
  });
  child.unref();
  void child.then(() => {
    if (watch.signal.aborted) return;
    lost.abort(new MeshproofError("ERR_CLUSTER_UNREACHABLE", `the kind cluster "${name}" has ended`));
  });
  return { lost: lost.signal, stop: () => watch.abort() };
}
