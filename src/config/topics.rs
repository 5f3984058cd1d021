//! Rules between the topics of all pipelines.

use crate::config::process::Pipeline;
use crate::config::reader::Reader;

/// Reports pipelines that read what they, or others, write.
pub(super) fn check(pipelines: &[Pipeline], reader: &mut Reader) {
    for pipeline in pipelines {
        own(pipeline, reader);
    }
    for pipeline in pipelines {
        foreign(pipeline, pipelines, reader);
    }
    cycles(pipelines, reader);
}

fn key(pipeline: &Pipeline, key: &str) -> String {
    format!("pipeline.{}.{key}", pipeline.worker.pipeline)
}

fn own(pipeline: &Pipeline, reader: &mut Reader) {
    let worker = &pipeline.worker;
    for (name, topic) in [
        ("output.topic", &worker.output_topic),
        ("dead_letter.topic", &worker.dead_letter_topic),
    ] {
        if worker.topics.contains(topic) {
            let message = format!(
                "`{topic}` is an input topic of the same pipeline, it would read what it writes: name another topic"
            );
            reader.problem(key(pipeline, name), message, None);
        }
    }
}

/// A topic of forecasts must hold nothing else.
fn foreign(pipeline: &Pipeline, pipelines: &[Pipeline], reader: &mut Reader) {
    let topic = &pipeline.worker.dead_letter_topic;
    if let Some(other) = pipelines.iter().find(|other| &other.worker.output_topic == topic) {
        let message = format!(
            "`{topic}` is the output topic of `{}`, readers of forecasts would meet foreign bytes: name another topic",
            other.worker.pipeline
        );
        reader.problem(key(pipeline, "dead_letter.topic"), message, None);
    }
}

/// A pipeline may read what another writes, but not in a circle.
fn cycles(pipelines: &[Pipeline], reader: &mut Reader) {
    for start in pipelines {
        let mut reached = vec![false; pipelines.len()];
        let mut open = vec![start];
        let mut circle = false;
        while let Some(writer) = open.pop() {
            for (index, next) in pipelines.iter().enumerate() {
                if !reads(next, writer) || std::ptr::eq(next, writer) {
                    continue;
                }
                circle |= std::ptr::eq(next, start);
                if !std::mem::replace(&mut reached[index], true) {
                    open.push(next);
                }
            }
        }
        if circle {
            let message = "comes back as input through other pipelines, records would go round for ever: break the circle";
            reader.problem(key(start, "output.topic"), message, None);
        }
    }
}

fn reads(reader: &Pipeline, writer: &Pipeline) -> bool {
    let topics = &reader.worker.topics;
    topics.contains(&writer.worker.output_topic) || topics.contains(&writer.worker.dead_letter_topic)
}
