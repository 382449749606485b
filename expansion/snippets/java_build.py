# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The build that a snippet in Java needs."""

from __future__ import annotations

from importlib import metadata

from expansion.snippets.call import Call

# As in java-example/gradle.properties; a test compares them.
BEAM, PORTABLE_RUNNER, JAMM, SLF4J = "2.71.0", "2.65.0", "0.4.0", "2.0.16"
_CODE = """\
// Beside src/main/java/{class_name}.java; run it with: gradle run
apply plugin: 'java'
apply plugin: 'application'

repositories {{
    mavenLocal() // where beam-ml-expansion-client is after: gradle -p java-example :client:publishToMavenLocal
    mavenCentral()
}}

dependencies {{
    implementation 'io.github.beamml:beam-ml-expansion-client:{client}'
    implementation 'org.apache.beam:beam-sdks-java-core:{beam}'

    // What LocalBeam needs: a runner that submits jobs, and workers for Java steps.
    runtimeOnly 'org.apache.beam:beam-runners-portability-java:{portable_runner}'
    runtimeOnly 'org.apache.beam:beam-runners-java-fn-execution:{beam}'
    runtimeOnly 'org.apache.beam:beam-sdks-java-harness:{beam}'
    runtimeOnly 'com.github.jbellis:jamm:{jamm}'
    runtimeOnly 'org.slf4j:slf4j-simple:{slf4j}'
}}

def quiet = ['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn']
if (org.gradle.util.GradleVersion.current() >= org.gradle.util.GradleVersion.version('6.4')) {{
    application {{ mainClass = '{class_name}'; applicationDefaultJvmArgs = quiet }}
}} else {{
    mainClassName = '{class_name}'
    applicationDefaultJvmArgs = quiet
}}
"""


def build_file(call: Call) -> str:
    """Returns build.gradle of a project with the snippet as its only class."""
    return _CODE.format(
        class_name=call.class_name,
        client=metadata.version("beam-ml-expansion"),
        beam=BEAM,
        portable_runner=PORTABLE_RUNNER,
        jamm=JAMM,
        slf4j=SLF4J,
    )
