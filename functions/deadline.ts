/**
 * Does some work that has an end. The timer ends with the work: that of AbortSignal.timeout would go on, thousands of them
 * during a storm.
 *
 * @param milliseconds after which the signal is aborted, with the same reason as by AbortSignal.timeout
 * @returns what the work resolves to; it may go on when its time is over
 */
export async function withDeadline<T>(milliseconds: number, work: (deadline: AbortSignal) => Promise<T>): Promise<T> {
  const over = new AbortController();
  const end = () => over.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
  const timer = setTimeout(end, milliseconds);
  try {
    return await work(over.signal);
  } finally {
    clearTimeout(timer);
  }
}
