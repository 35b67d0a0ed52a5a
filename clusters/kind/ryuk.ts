import { docker, hasImage } from "./docker.ts";

/** The default image of testcontainers' reaper. */
const RYUK = "testcontainers/ryuk:0.14.0";

/**
 * testcontainers' reaper removes the remains of a killed process. It is used if its image is available; otherwise the sweep
 * of the next start does the same. A kept cluster has none, because it outlives its process. TESTCONTAINERS_RYUK_DISABLED is
 * respected if it is set.
 */
export async function useRyukIfThere({
  keep,
  signal,
}: {
  readonly keep: boolean;
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  if (process.env["TESTCONTAINERS_RYUK_DISABLED"] !== undefined) return;
  const image = process.env["RYUK_CONTAINER_IMAGE"] ?? RYUK;
  const there =
    !keep &&
    ((await hasImage(image, signal)) ||
      (await docker(["pull", "--quiet", image], { signal }).then(
        () => true,
        () => false,
      )));
  if (!there) process.env["TESTCONTAINERS_RYUK_DISABLED"] = "true";
}
