import { docker, hasImage } from "./docker.ts";

/** The image that testcontainers starts its reaper from, where nobody names another. */
const RYUK = "testcontainers/ryuk:0.14.0";

/**
 * testcontainers' reaper removes what a killed process leaves. It is used where its image can be had; elsewhere the next
 * start's sweep does the same. A kept cluster has none, because it outlives its process. Whoever has set
 * TESTCONTAINERS_RYUK_DISABLED is heard.
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
