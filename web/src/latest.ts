// Of requests that come faster than answers, only the newest waits.

/** Runs one task at a time. A task that comes meanwhile waits, in place of the one that waited before. */
export class LatestOnly {
  private isRunning = false;
  private waiting: (() => Promise<void>) | null = null;

  run(task: () => Promise<void>): void {
    if (this.isRunning) {
      this.waiting = task;
      return;
    }
    this.isRunning = true;
    void task().finally(() => {
      this.isRunning = false;
      const next = this.waiting;
      this.waiting = null;
      if (next !== null) this.run(next);
    });
  }

  /** Forget the task that waits; one that runs goes on. */
  clear(): void {
    this.waiting = null;
  }
}
