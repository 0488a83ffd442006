package kota;

import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Profile;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.core.authority.SimpleGrantedAuthority;
import org.springframework.security.core.authority.mapping.GrantedAuthoritiesMapper;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.DefaultOAuth2AuthorizationRequestResolver;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizationRequestCustomizers;
import org.springframework.security.oauth2.core.oidc.user.OidcUserAuthority;
import org.springframework.security.web.SecurityFilterChain;

/** The configuration of the quick start for Spring. */
@Configuration
@Profile("client")
class SignIn {

    @Bean
    SecurityFilterChain security(HttpSecurity http, ClientRegistrationRepository clients) throws Exception {
        var pkce = new DefaultOAuth2AuthorizationRequestResolver(clients, "/oauth2/authorization");
        pkce.setAuthorizationRequestCustomizer(OAuth2AuthorizationRequestCustomizers.withPkce());
        return http
            .authorizeHttpRequests(requests -> requests
                .requestMatchers("/operator").hasRole("operator")
                .anyRequest().authenticated())
            .oauth2Login(login -> login
                .redirectionEndpoint(end -> end.baseUri("/callback"))
                .authorizationEndpoint(end -> end.authorizationRequestResolver(pkce)))
            .oidcLogout(logout -> logout.backChannel(Customizer.withDefaults()))
            .build();
    }

    /** The roles of the user in this application, from the ID token: ROLE_operator for hasRole("operator"). */
    @Bean
    GrantedAuthoritiesMapper roles() {
        return granted -> granted.stream().flatMap(authority -> authority instanceof OidcUserAuthority user
                ? Stream.concat(Stream.of(authority), rolesOf(user).stream().map(role -> "ROLE_" + role).map(SimpleGrantedAuthority::new))
                : Stream.of(authority)).collect(Collectors.toSet());
    }

    private static List<String> rolesOf(OidcUserAuthority user) {
        List<String> roles = user.getIdToken().getClaimAsStringList("roles");
        return roles == null ? List.of() : roles;
    }
}
