import type { Template } from "aws-cdk-lib/assertions";
import { resources } from "./policies.ts";

/** The part of an alarm's properties that decides when it is raised. */
export interface AlarmRule {
  Period: number;
  Statistic: string;
  Threshold: number;
  ComparisonOperator: string;
  EvaluationPeriods: number;
  DatapointsToAlarm: number;
  TreatMissingData: string;
}

/** What was counted or measured at a minute of the day. */
export type Point = [minute: number, value: number];

/** An alarm changed its state, which is one mail. */
export interface Change {
  minute: number;
  state: "ALARM" | "OK";
}

export const DAY = 24 * 60;

/** The alarms of a stack, by the end of their names. */
export function alarmRules(template: Template): Map<string, AlarmRule> {
  return new Map(
    Object.values(resources(template))
      .filter(({ Type }) => Type === "AWS::CloudWatch::Alarm")
      .map(({ Properties }) => [
        String(Properties.AlarmName).replace("clavex-nextcloud-test-", ""),
        Properties as unknown as AlarmRule,
      ]),
  );
}

/** A value for each span of this many minutes, from one minute of the day to another. */
export function every(minutes: number, from = 0, to = DAY, value: (minute: number) => number = () => 1): Point[] {
  return Array.from({ length: Math.ceil((to - from) / minutes) }, (_, index): Point => {
    const minute = from + index * minutes;
    return [minute, value(minute)];
  });
}

/**
 * The mails of a day, by the alarm's own rule: at the end of each period the last `EvaluationPeriods` are looked at, and as
 * many as `DatapointsToAlarm` of them have to be bad. A period without points is treated as `TreatMissingData` says. The day
 * before was quiet, or for an alarm to which silence is bad, like this day's first hour.
 */
export function mailsOf(rule: AlarmRule, points: Point[]): Change[] {
  const period = rule.Period / 60;
  const missingIsBad = rule.TreatMissingData === "breaching";
  const isBad = (index: number): boolean => {
    const values = points.flatMap(([minute, value]) => (Math.floor(minute / period) === index ? [value] : []));
    if (index < 0) return false;
    if (values.length === 0) return missingIsBad;
    const value = rule.Statistic === "Sum" ? values.reduce((sum, each) => sum + each, 0) : Math.max(...values);
    return rule.ComparisonOperator === "LessThanThreshold" ? value < rule.Threshold : value >= rule.Threshold;
  };
  const changes: Change[] = [];
  let state: Change["state"] = "OK";
  for (let end = 1; end <= DAY / period; end += 1) {
    const bad = Array.from({ length: rule.EvaluationPeriods }, (_, back) => isBad(end - 1 - back)).filter(
      Boolean,
    ).length;
    const next = bad >= rule.DatapointsToAlarm ? "ALARM" : "OK";
    if (next !== state) changes.push({ minute: end * period, state: next });
    state = next;
  }
  return changes;
}
