// The commands that repeat a result, as a shell reads them.

/** @returns {{trains: boolean, commands: string[]}} one command per result file */
export function commandsOf(row, checkpoints) {
  const { runs, repeatable, ownHead, head } = row.raw;
  const commands = runs.flatMap((run) => {
    const file = checkpoints[run.checkpoint]?.file;
    const checkpoint = file ? decodeURIComponent(file) : "CHECKPOINT";
    return run.cells
      .filter(Boolean)
      .map((cell) =>
        [
          "fsbench reproduce",
          quoted(decodeURIComponent(cell.href)),
          ...(file || !repeatable ? ["--checkpoint", quoted(checkpoint)] : []),
          ...(ownHead ? ["--head", quoted(head)] : []),
        ].join(" "),
      );
  });
  return { trains: repeatable, commands };
}

/** A word for a POSIX shell. */
export function quoted(word) {
  return /^[\w./@:+=-]+$/.test(word) && !word.startsWith("-") ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
