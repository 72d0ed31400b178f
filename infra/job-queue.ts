import { Duration, RemovalPolicy } from "aws-cdk-lib";
import { DeduplicationScope, FifoThroughputLimit, Queue, QueueEncryption } from "aws-cdk-lib/aws-sqs";
import { Construct } from "constructs";
import { QUEUE_LIMITS } from "../functions/queue/limits.ts";

export interface JobQueueProps {
  /** The longest a worker can hold a message; the visibility timeout follows from it. */
  workerTimeout: Duration;
  /** Whether the dead letters outlive the stack. */
  retain: boolean;
}

/** AWS's advice for queues that feed a function: this leaves time for its retries while it is throttled. */
const VISIBILITY_FACTOR = 6;

/** The queue of jobs, in order per person, and the queue for messages that no worker could even read. */
export class JobQueue extends Construct {
  readonly queue: Queue;
  readonly deadLetterQueue: Queue;

  constructor(scope: Construct, id: string, { workerTimeout, retain }: JobQueueProps) {
    super(scope, id);
    const common = {
      fifo: true,
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.seconds(QUEUE_LIMITS.retentionSeconds),
      // Without these two, all people together would share 300 messages a second.
      deduplicationScope: DeduplicationScope.MESSAGE_GROUP,
      fifoThroughputLimit: FifoThroughputLimit.PER_MESSAGE_GROUP_ID,
    };
    this.deadLetterQueue = new Queue(this, "DeadLetters", {
      ...common,
      removalPolicy: retain ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE : RemovalPolicy.DESTROY,
    });
    this.queue = new Queue(this, "Queue", {
      ...common,
      visibilityTimeout: Duration.seconds(workerTimeout.toSeconds() * VISIBILITY_FACTOR),
      deadLetterQueue: { queue: this.deadLetterQueue, maxReceiveCount: QUEUE_LIMITS.maxReceiveCount },
    });
  }
}
