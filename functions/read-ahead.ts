/** A list that is read before it is asked for. It can be walked once. */
export interface ReadAhead<T> extends AsyncIterable<T> {
  /** Resolves when nothing more is read: whether the list was read to its end. Never rejects. */
  readonly done: Promise<boolean>;
  /** Reads nothing more; a page that is under way is dropped. Whoever walks on gets the reason as a failure. */
  stop(reason?: unknown): void;
}

export interface ReadAheadOptions<T> {
  /** How much may be held until the walk begins; afterwards it is one page. Default one page. */
  most?: number;
  /** How much a page counts for. */
  weigh?: (page: T) => number;
}

/**
 * Reads the first page of a list at once, and the next one while its consumer works on the one before. One request is under way
 * at a time. A failure comes after the pages before it; when nobody walks that far, it comes nowhere.
 */
export function readAhead<T>(pages: AsyncGenerator<T>, options: ReadAheadOptions<T> = {}): ReadAhead<T> {
  const { most = 1, weigh = () => 1 } = options;
  const held: T[] = [];
  let [weight, isWalked, isDone] = [0, false, false];
  let failure: { reason: unknown } | undefined;
  let changed = Promise.withResolvers<void>();
  const tell = (): void => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const isFull = (): boolean => (isWalked ? held.length > 0 : weight >= most);
  const stop = (reason: unknown = new Error("nothing more is read of this list")): void => {
    failure ??= { reason };
    held.length = 0;
    tell();
  };

  async function read(): Promise<boolean> {
    try {
      while (!isDone && !failure) {
        const { done, value } = await pages.next();
        if (failure) break;
        if (done) isDone = true;
        else {
          held.push(value);
          weight += weigh(value);
        }
        tell();
        while (isFull() && !failure) await changed.promise;
      }
      if (!isDone) await pages.return(undefined);
    } catch (reason) {
      failure ??= { reason };
      tell();
    }
    return isDone;
  }

  async function* walk(): AsyncGenerator<T> {
    isWalked = true;
    try {
      for (;;) {
        const page = held.shift();
        if (page !== undefined) {
          tell();
          yield page;
        } else if (failure) throw failure.reason;
        else if (isDone) return;
        else await changed.promise;
      }
    } finally {
      stop();
    }
  }

  return { done: read(), stop, [Symbol.asyncIterator]: walk };
}
