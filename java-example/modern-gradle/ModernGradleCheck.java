// Licensed under the Apache License, Version 2.0; see LICENSE.

import java.io.File;
import java.io.FileReader;
import java.io.Reader;
import java.util.Map;
import java.util.Properties;
import org.gradle.api.Project;
import org.gradle.testfixtures.ProjectBuilder;
import org.gradle.util.GradleVersion;

/**
 * Evaluates the build scripts with the Gradle on the class path and realises every task; exits with
 * 1 if it can't.
 */
public final class ModernGradleCheck {

  private ModernGradleCheck() {}

  public static void main(String[] args) {
    int status = 0;
    try {
      check(new File(args[0]), new File(args[1]));
    } catch (Throwable e) {
      e.printStackTrace();
      status = 1;
    }
    System.out.flush();
    Runtime.getRuntime().halt(status); // Gradle's threads keep the JVM alive otherwise.
  }

  private static void check(File directory, File home) throws Exception {
    System.out.println(GradleVersion.current());
    Project root =
        ProjectBuilder.builder()
            .withName("java-example")
            .withProjectDir(directory)
            .withGradleUserHomeDir(home)
            .build();
    Properties properties = new Properties();
    try (Reader reader = new FileReader(new File(directory, "gradle.properties"))) {
      properties.load(reader);
    }
    properties.forEach(
        (name, value) -> root.getExtensions().getExtraProperties().set((String) name, value));
    Project client = child(root, "client");
    Project samples = child(root, "samples");
    Project flink = child(root, "flink");
    Project spark = child(root, "spark");
    for (Project project : new Project[] {root, client, samples, flink, spark}) {
      project.apply(Map.of("from", new File(project.getProjectDir(), "build.gradle").getPath()));
    }
    for (Project project : new Project[] {client, samples, flink, spark}) {
      for (String task : project.getTasks().getNames()) {
        project.getTasks().getByName(task);
      }
      System.out.println(project.getName() + " " + project.getTasks().getNames());
    }
  }

  private static Project child(Project root, String name) {
    return ProjectBuilder.builder()
        .withName(name)
        .withParent(root)
        .withProjectDir(new File(root.getProjectDir(), name))
        .build();
  }
}
