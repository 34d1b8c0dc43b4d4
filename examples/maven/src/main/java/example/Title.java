package example;

import java.util.Arrays;
import java.util.stream.Collectors;
import org.apache.commons.lang3.StringUtils;

/** Prints words as a title. */
public final class Title {
    private Title() {}

    public static void main(String[] words) {
        System.out.println(Arrays.stream(words).map(StringUtils::capitalize).collect(Collectors.joining(" ")));
    }
}
